"""What a comparison found, as Markdown and HTML."""

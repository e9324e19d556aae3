"""Report the results of a comparison as Markdown and HTML."""

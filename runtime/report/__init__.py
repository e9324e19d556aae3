"""Write reports of commands as Markdown and as one self-contained HTML file."""

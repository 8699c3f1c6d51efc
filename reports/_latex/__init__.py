"""LaTeX: floats, tables and text."""

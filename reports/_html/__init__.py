"""The parts of the HTML page: what it shows, its template, its style and its script."""

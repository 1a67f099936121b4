"""One self-contained web page about a forecast: maps, plumes, scores and provenance."""

"""What a run leaves: tables on the terminal, `results.json`, plots, the README's table."""

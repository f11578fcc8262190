"""Users of the API who record every answer they get."""

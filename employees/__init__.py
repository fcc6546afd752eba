"""Companies, the people who sign in, and the employees with their extensions and phones."""

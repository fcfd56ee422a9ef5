"""See what happened: tasks, leftovers, endings, deliveries."""

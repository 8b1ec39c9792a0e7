"""What everything stands on: checks of arguments, the clock, files, workers."""

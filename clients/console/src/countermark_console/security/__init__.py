"""What stands between a browser and the pages: pure decisions, and the one middleware that carries them out."""

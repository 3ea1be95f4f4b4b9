"""The commands of `lapwing`, one per file: what they are told, what they print, how they end."""

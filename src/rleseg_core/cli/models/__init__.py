"""The commands ``rleseg models …``, a module each."""

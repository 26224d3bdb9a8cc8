"""The commands ``rleseg tokens …``, a module each."""

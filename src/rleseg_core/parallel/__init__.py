"""Several processes that train one model: launch, roles, collective operations.

A layer below the model, whose batch normalisation averages over processes, and below the command
line, which asks without torch which process it is. It imports nothing of ours but the errors.
"""

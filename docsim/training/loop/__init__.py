"""The training loop: configuration, losses, optimizers, trainer, probes, checkpoints and reports."""

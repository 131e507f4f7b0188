"""The training loop: losses, steps, probes, checkpoints and reports."""

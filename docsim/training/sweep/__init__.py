"""Hyper-parameter sweeps: many short trainings within a time budget, and their leaderboard."""

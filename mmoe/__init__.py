"""Scheduled retraining for ads engagement models."""

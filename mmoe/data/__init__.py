"""Partitions to tensors, and the score sets that models leave beside partitions."""

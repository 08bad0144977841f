"""Batch training with distillation, incremental training without it, and the state that both leave behind."""

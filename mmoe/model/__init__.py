"""MMoE networks: sizes and tensors in, logits out. No schema, loss, optimizer or device in here."""

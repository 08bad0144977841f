"""What score sets say: metrics, intervals, and the release gate. Free of torch."""

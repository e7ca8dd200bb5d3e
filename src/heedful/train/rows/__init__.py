"""Examples as tokens -> rows, mixed, encoded, bounded in length, -> batches, padded or packed."""

"""How a model is computed while it is trained: packed attention, the output layer's loss, faster pieces, number formats."""

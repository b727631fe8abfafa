"""The floor: the least that each piece of work costs, so that a figure reads as a multiple of the limit."""

"""School mathematics for the offline brain: reads what people write, solves it with sympy, and shows the steps.

It runs in a process of its own (`worker`), which can be stopped when a problem takes too long. Nothing that people
write is ever evaluated as code: `formulas` builds the expressions itself, from a short list of allowed parts.
"""

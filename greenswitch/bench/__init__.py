"""The microbenchmarks that a user runs after `pip install`: `python -m greenswitch.bench` (spec W2).

What belongs here: small programs that time one thing each, and the table that shows them beside the
package that greenswitch replaces.  What never does: comparisons that need more than greenswitch and that
one package; they are in benchmarks/ at the top of the repository.
"""

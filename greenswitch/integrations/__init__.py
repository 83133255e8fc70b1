"""Programs that other projects make, run on greenswitch: one module for each, which needs that project.

What belongs here: the classes that such a program asks for by name. What never does: anything that the rest
of greenswitch would need.
"""

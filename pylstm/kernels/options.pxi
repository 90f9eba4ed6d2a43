"""Options: what travels together from Python, the named tuples of `_options.py`.

Each group is unpacked, in the order of its fields, into the struct of its name, which stands in the file
of its subject.
"""

cdef inline tuple fields_of(options):
    """The fields, as a tuple to unpack: many times faster than to ask for each by its name."""
    if not isinstance(options, tuple):
        raise TypeError(f"expected a named tuple of pylstm._options, got {type(options).__name__}")
    return <tuple> options

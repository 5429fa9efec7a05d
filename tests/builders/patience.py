"""How long tests wait for what takes seconds on an idle machine.

Long enough for one that does eight other things at once: a test that fails on a busy machine is a broken test.
"""

PATIENCE_S = 600.0

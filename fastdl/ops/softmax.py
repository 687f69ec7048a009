# The lead writes ops/softmax.py and lands it on main (06:33): do not write it here; rebase and review instead.

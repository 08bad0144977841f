"""`python -m mmoe`: the command line."""

from mmoe.cli import main

main()

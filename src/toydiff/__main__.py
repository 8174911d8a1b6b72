"""`python -m toydiff`: the same as the `toydiff` command."""

from toydiff.cli.app import main

if __name__ == "__main__":
    main()

"""The command line: `app` registers, one file a command."""

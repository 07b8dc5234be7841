"""Damaged and hostile files for every reader of the project: `python -m tests.fuzz`.

Each case takes a sound file, changes it in a way that its number alone decides, and has its reader
read it. Readers may read it, or raise what their docstring says, in one line. A run fails for any
other exception, for more than five seconds, a gigabyte, or a request for more memory than there is,
for a result that is not what the reader promises, and where the process dies.

    python -m tests.fuzz                               # 2,000 cases over all readers
    python -m tests.fuzz --cases=20000 --first=2000    # others
    python -m tests.fuzz --readers=npz,cache           # of some readers
    python -m tests.fuzz --only=1234 --keep=/tmp/file  # one case, its file and its traceback
"""

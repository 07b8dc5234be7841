"""Trainings that are killed again and again, and must end as one that never was.

    python -m tests.kills                        # 100 kills
    python -m tests.kills --count=20 --seed=1    # others

`experiments.train` trains a tiny network on a few digits, and is killed: by SIGKILL at one of the
instants around each change of a file (`tests.kills.instants`) or at any time, or told to end by
SIGTERM. Then it is resumed, until it ends. A line a kill, and at the end a summary. A run fails
where a file is left that is not whole, where a resumption fails, and where the finished folder
differs: in the model's bytes, in a record but for its seconds, or in what files there are.
"""

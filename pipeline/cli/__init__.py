"""The command line `region-sync`: options in, one call into the pipeline, tables and sentences out.

`program` is its table of contents and turns failures into exit codes; `running` starts what runs for long,
`standing`, `auditing`, `holding` and `telling` show what the pages show (`answers`), `asking` asks regions to
be read, `checking` looks whether all can be reached.
Nothing heavy is imported before a command needs it: `region-sync --help` is quick, and a bridge stays small.
"""

from pipeline.cli.program import main as main

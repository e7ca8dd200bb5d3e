"""Settings + project folder -> artefacts: the stage graph, staleness, runs, lineage.

Files: `settings` (all of heedful.toml), `graph` (what is stale, building it), `stages` (what each stage reads and
writes), `engines` (which engine answers for a model), `origins` (lineage over the artefacts), `run` (one run);
`generating` (files of prompts -> answers; `prompt_rows` reads them, `answer_journal` keeps what is answered, `asking` says how).
"""

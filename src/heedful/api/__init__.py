"""The Python API: what the commands do, for notebooks and programs. Its names stand in `heedful` itself.

    import heedful

    project = heedful.open("my-assistant", progress=True)
    project.run(until="curate", tune={"epochs": 2})
    for row in project.rows(split="train"): ...
    with project.generator() as answer:
        print(answer("Name three uses of a paper clip.", requirements=["words=5:40"]))

Files: `projects` (a project's folder), `generators` (a model that answers), `files` (rows in files). Nothing is printed
unless `progress=True`; what a command would say aloud is kept in `notes`. Errors are those of `heedful.errors`.
"""

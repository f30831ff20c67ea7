"""What an operator sees: pages, the same as JSON, and the few things a person may change. It knows the store
and the core; not Faust, not the settings. `routes` is the table of contents, `server` answers by it, each
other module reads for one page; `pipeline.web` puts all of it on Faust's own web server.
"""

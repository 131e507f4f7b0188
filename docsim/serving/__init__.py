"""The server: one process, or several, that answers everybody from an index: over HTTP, on a page, and to assistants.

    settings                  how a server is to run
    access                    which documents somebody may see
    server_database           the database beside the index that holds tokens, sessions and jobs
    tokens                    tokens and the sessions of the page
    reading                   what is asked of an index, seen by somebody
    catalogue                 ids and titles in order, for lists and suggestions
    writing                   jobs that change documents, done by the one writer
    parameters                what requests may say
    problems                  errors as RFC 9457 has them
    guard                     who asks, and from where: hosts, origins, tokens, rates
    limits                    how much, how long and how many at once
    rate_limit                how many requests a minute
    request_log               request numbers, logs and metrics
    watching                  when sources have to be read again
    page_snippets             texts in parts, of which some are marked
    tools                     what assistants may ask
    api, page, assistants     the routes
    app, running              the application, and the processes that run it

Nothing outside ``docsim.cli`` imports it, and it imports no training. It needs the extra ``serve``.
"""

"""The website: a face of the double. Django views and htmx fragments over the store; it works without JavaScript.

How a page plugs in (a page is a package `website/<page>/`):

- `urls.py`: `app_name = "<page>"` and `urlpatterns`, one of them named "index". One line in `pages.PAGES` registers it:
  its address is `/<page>/`, and it stands in the navigation for those who have one of its roles.
- `views.py`: plain `def` views, or `async def` where the answer streams. Every view carries `@needs(Role.JUDGE, ...)`
  or `@open_to_all` (`access.py`); a view that carries neither is refused. `visitor_of(request)` is who asks: a
  person who logged in or a guest with an invitation; `visitors.judge_of(request)` is the judge (a `JudgeRow`) under
  whom what they say is filed.
- `templates/website/<page>/*.html`: full pages extend `website/base.html` (blocks `title`, `heading`, `lead`, `main`,
  `head`, `scripts`; `wide` for a page that needs the whole width). Fragments are named `_name.html`. In `head` add
  a `<link rel="stylesheet" href="{% static 'website/<page>/page.css' %}">`, in `scripts` a `<script defer src=...>`.
  Scripts and styles are always files: the Content-Security-Policy forbids inline ones, `style=` and `on...=` as well.
  For a width or a colour from data use SVG attributes, `<progress>`, `<meter>`, or set `element.style` from a script.
- `static/website/<page>/*`: served under `/static/website/<page>/`, versioned by content. Classes that are there
  already: see the head of `static/website/site.css`.
- `answers.answer(request, page=..., part=..., context=...)` renders the fragment for htmx and the page otherwise;
  `answers.redirect(request, to)` is right for both. htmx is loaded by the base template, its CSRF header set on
  `<body>`; plain forms need `{% csrf_token %}`. For server-sent events put
  `<script defer src="{% static 'django_htmx/ext/hx-sse-2.min.js' %}">` into `scripts`, or use `EventSource`.
- What there is to do there stands on the home page by a function in `frame.OFFERS`.
- Problems: raise `UserError` (a page with its words, 400), `Http404`, `PermissionDenied`; nothing else is caught.

The database (`data.py`): a request runs from first middleware to last in one thread of a small pool, and each of those
threads keeps a Django connection of its own. A view READS with `read(function, ...)`, which calls a store function
right there, side by side with other requests. It WRITES with `write(function, ...)`, which hands it to `Store.call`:
one thread writes for the whole process (the Discord bot as well), so that no vote waits on another's lock, and what
returned is on the disk. In `async` views and generators of streamed answers use `aread` and `awrite`; never call a
store function directly from the event loop. Functions read from must not write. Django's own sessions, admin and
log-in are the exception: they use the request's connection.

What the site was given (store, workspace, engines, settings): `services.services()`.
"""

"""Pages to look at in a browser: the demonstration, and the description of the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

PAGE: Final = Path(__file__).parent.with_name("web")
STATIC_CONTENT: Final = "bentoml/_internal/server/static_content"
"""Where BentoML carries the files of Swagger."""

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs() -> HTMLResponse:
    """Return the page of the API, from the files that BentoML carries: it works without the internet."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Attune",
        swagger_js_url="static_content/swagger-ui-bundle.js",
        swagger_css_url="static_content/swagger-ui.css",
        swagger_favicon_url="icon.svg",
    )


def _page_file(path: Path) -> Callable[[], Awaitable[FileResponse]]:
    async def page_file() -> FileResponse:
        return FileResponse(path)

    return page_file


for path in sorted(PAGE.iterdir()):  # one route each: a mount at / would hide BentoML's pages
    router.get("/" if path.name == "index.html" else f"/{path.name}")(_page_file(path))

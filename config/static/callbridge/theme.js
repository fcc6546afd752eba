// Light or dark as chosen in the portal, before the first paint.
"use strict";

(() => {
    let chosen = "auto";
    try { chosen = JSON.parse(localStorage.getItem("adminTheme")) || "auto"; } catch { /* as the system is */ }
    const dark = chosen === "dark" || (chosen === "auto" && window.matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.classList.toggle("dark", dark);
})();

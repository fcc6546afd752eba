// Where a browser keeps nothing for pages within other pages, what ours would keep lasts as long as the page.
"use strict";

for (const name of ["localStorage", "sessionStorage"]) {
    try {
        void window[name].length;
    } catch {
        const kept = new Map();
        const storage = {
            getItem: (key) => kept.get(key) ?? null,
            setItem: (key, value) => { kept.set(key, String(value)); },
            removeItem: (key) => { kept.delete(key); },
        };
        Object.defineProperty(window, name, { value: storage });
    }
}

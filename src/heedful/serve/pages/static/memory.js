// What this browser remembers: language and colours in cookies, since the server draws the page with them; the rest stays here.

const YEAR = 365 * 24 * 3600;

/** Keep a choice that the server must know. */
export function remember(name, value) {
  document.cookie = `heedful_${name}=${value}; path=/; max-age=${YEAR}; samesite=strict`;
}

/** Keep a value in this browser; a browser that keeps nothing (private windows) is no error. */
export function keep(name, value) {
  try {
    localStorage.setItem(`heedful.${name}`, JSON.stringify(value));
  } catch {
    // The choice then holds until the page is left.
  }
}

/** What `keep` kept, else `otherwise`. */
export function kept(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`heedful.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

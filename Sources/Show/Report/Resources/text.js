// Elements, text and numbers.

// Children that are no nodes are text.
function make(tag, attributes = {}, ...children) {
  const namespaced = ['svg', 'circle'].includes(tag);
  const element = namespaced
    ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function button(text, act, attributes = {}) {
  const element = make('button', { type: 'button', ...attributes }, text);
  element.addEventListener('click', act);
  return element;
}

// Control characters as their pictures, and those that mark directions and lines as their numbers, as HTML.swift has
// them.
function shown(text) {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (character) => {
      const code = character.charCodeAt(0);
      if (code === 0x09) return '⇥';
      if (code === 0x0a) return '↵';
      if (code < 0x20) return String.fromCharCode(0x2400 + code);
      if (code === 0x7f) return '\u2421';
      return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
    });
}

// "0.0720", "7.20e−5"
function number(value, digits = 3) {
  if (value === null || value === undefined) return '–';
  if (value === 0) return '0';
  const [, exponent] = value.toExponential(digits - 1).split('e').map(Number);
  const text = exponent >= -3 && exponent < 5
    ? value.toFixed(Math.max(0, digits - 1 - exponent)) : value.toExponential(digits - 1).replace('e+', 'e');
  return text.replaceAll('-', '−');
}

const grouped = (value) => value.toLocaleString('en-US');

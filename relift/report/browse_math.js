"use strict";
// Formulas as people and models write them, drawn as MathML by Temml (vendor/temml.min.js). What it does not draw stands there
// as it was written; nothing is ever parsed as markup, and what a formula says cannot reach the page around it.
const Mathematics = (() => {
  const NS = "http://www.w3.org/1998/Math/MathML";
  const MOST_CHARACTERS = 6000, MOST_DEPTH = 100, MOST_NODES = 20000;
  // A few characters can define what grows without end, and what it costs shows only when it is drawn.
  const DEFINES = /\\(?:[egx]?def|let|futurelet|(?:re)?newcommand|providecommand|(?:re)?newenvironment|DeclareMathOperator)(?![a-zA-Z])/;
  const NEEDS_BLOCK = /\\begin\{(?:align|alignat|gather|equation|multline|eqnarray)\*?\}/;
  // TeX reads no further than a %, and nobody who writes one in a solution means that.
  const percents = (tex) => tex.replace(/\\[\s\S]|%/g, (found) => (found === "%" ? "\\%" : found));

  function formula(tex, isBlock) {
    if (!tex.trim() || tex.length > MOST_CHARACTERS || DEFINES.test(tex)) return null;
    const holder = document.createElement("span");
    try {
      temml.render(percents(tex), holder, {
        displayMode: isBlock || NEEDS_BLOCK.test(tex), trust: false, maxExpand: 1000, maxSize: [20, 200],
        macros: { "\\mbox": "\\text{#1}" }, // an object of its own each time: Temml writes into it
      });
      const left = { nodes: MOST_NODES };
      if (holder.firstChild?.localName !== "math" || !tame(holder.firstChild, left, 0)) return null;
    } catch {
      return null; // a formula that Temml cannot draw; the page goes on
    }
    holder.firstChild.setAttribute("alttext", tex);
    return holder.firstChild;
  }

  // No name that the page's own elements have, no colour that is not read on this ground, no tree that is too much to lay out.
  function tame(node, left, depth) {
    left.nodes -= 1;
    if (node.nodeType === Node.TEXT_NODE) node.data = visible(node.data);
    if (node.nodeType === Node.TEXT_NODE) return true;
    if (left.nodes < 0 || depth > MOST_DEPTH || node.namespaceURI !== NS) return false;
    for (const name of ["id", "mathcolor"]) node.removeAttribute(name);
    if (node.localName === "mspace" && node.hasAttribute("mathbackground")) node.setAttribute("mathbackground", "currentcolor");
    else node.removeAttribute("mathbackground");
    node.style.color = "";
    return [...node.childNodes].every((child) => tame(child, left, depth + 1));
  }

  // A dollar opens a formula where no blank follows, and closes it where no blank stands before and no digit after: of
  // "$5 and $6" neither does both.
  const FORMULA = new RegExp(
    [
      "\\$\\$([\\s\\S]+?)\\$\\$", "\\\\\\[([\\s\\S]+?)\\\\\\]",
      "\\\\\\(([\\s\\S]+?)\\\\\\)", "\\$(?![\\s$])((?:\\\\[\\s\\S]|[^$\\\\])*?(?:\\\\[^\\s]|[^\\s$\\\\]))\\$(?!\\d)",
      "(\\\\begin\\{([a-zA-Z]+\\*?)\\}[\\s\\S]+?\\\\end\\{\\6\\})", "(\\\\boxed\\s*\\{(?:[^{}]|\\{(?:[^{}]|\\{(?:[^{}]|\\{[^{}]*\\})*\\})*\\})*\\})",
    ].join("|"), "g");

  function fill(element, text) {
    let from = 0;
    for (const found of text.matchAll(FORMULA)) {
      const isBlock = found[1] !== undefined || found[2] !== undefined || found[5] !== undefined;
      const boxed = found[7]?.replace(/(?<!\\)(?:\$|\\[()])/g, ""); // within a box they are those of a formula in a formula
      const tex = found[1] ?? found[2] ?? found[3] ?? found[4] ?? found[5] ?? boxed;
      const drawn = formula(tex, isBlock);
      if (!drawn) continue;
      const before = plain(text.slice(from, found.index)), after = text.slice(found.index + found[0].length);
      // A formula on a line of its own takes the blanks around it, one within a line the punctuation that follows it.
      const taken = (isBlock ? /^\s*/ : /^[.,;:!?)\]’]*/).exec(after)[0];
      if (isBlock) element.append(before.trimEnd(), drawn);
      else element.append(before, kept(drawn, taken));
      from = found.index + found[0].length + taken.length;
    }
    element.append(plain(text.slice(from)));
  }
  function kept(drawn, punctuation) {
    if (!punctuation) return drawn;
    const together = document.createElement("span");
    together.className = "kept";
    together.append(drawn, punctuation);
    return together;
  }

  // What would move a cursor or turn the direction of reading is shown as unreadable, as it is.
  const visible = (text) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  const plain = (text) => visible(text).replace(/\\\$/g, "$");

  // A gold answer or an extracted one is a formula without dollars around it.
  function fillAnswer(element, text) {
    const drawn = /[\\^_]/.test(text) && !text.includes("$") ? formula(text, false) : null;
    if (drawn) element.append(drawn);
    else fill(element, text);
  }

  return { fill, fillAnswer, visible };
})();

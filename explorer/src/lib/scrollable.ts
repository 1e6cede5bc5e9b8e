/** Makes an element that scrolls sideways reachable by Tab, but only while something of it is hidden. */
export function scrollable(node: HTMLElement): () => void {
  const observer = new ResizeObserver(() => {
    if (node.scrollWidth > node.clientWidth) node.tabIndex = 0;
    else node.removeAttribute('tabindex');
  });
  observer.observe(node);
  for (const child of node.children) observer.observe(child);
  return () => observer.disconnect();
}

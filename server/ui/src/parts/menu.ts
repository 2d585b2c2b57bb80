// A menu (`details`) that closes when one goes elsewhere.
import { useEffect, useRef } from 'preact/hooks';

export function useMenu() {
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event) => {
      const element = menu.current!;
      const out = event instanceof KeyboardEvent ? event.key === 'Escape' : !element.contains(event.target as Node);
      if (!element.open || !out) return;
      element.open = false;
      if (event instanceof KeyboardEvent) {
        event.preventDefault();
        element.querySelector('summary')!.focus();
      }
    };
    addEventListener('pointerdown', close);
    addEventListener('keydown', close, true);
    return () => {
      removeEventListener('pointerdown', close);
      removeEventListener('keydown', close, true);
    };
  }, []);
  return menu;
}

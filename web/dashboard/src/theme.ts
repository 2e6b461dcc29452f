import { createTheme, type CSSVariablesResolver } from '@mantine/core'

/** How everything looks. Colours of outcomes are in parts/outcome.tsx, so that each has one meaning everywhere. */
export const theme = createTheme({
  primaryColor: 'blue',
  primaryShade: 8,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, monospace',
  defaultRadius: 'sm',
  cursorType: 'pointer',
  respectReducedMotion: true,
  // White text on a colour where that has a contrast of 4.5 or more, else black.
  autoContrast: true,
  luminanceThreshold: 0.183,
  components: {
    // A link is told from the text around it by more than its colour.
    Anchor: { defaultProps: { underline: 'always' } },
    // A table that is wider than its place is scrolled by keys as well.
    TableScrollContainer: { defaultProps: { tabIndex: 0 } },
    // Buttons that show a cross alone.
    Notification: { defaultProps: { closeButtonProps: { 'aria-label': 'Hide this message' } } },
    Modal: { defaultProps: { closeButtonProps: { 'aria-label': 'Close' } } },
  },
})

const tinted = ['blue', 'gray', 'green', 'orange', 'red', 'yellow'] as const

/** Text that is dimmed, linked or tinted stands out from what is behind it as much as WCAG 2.2 asks for (AA): the library's own shades do not. */
export const legible: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': 'var(--mantine-color-gray-7)',
    '--mantine-color-placeholder': 'var(--mantine-color-gray-7)',
    '--mantine-color-anchor': 'var(--mantine-color-blue-9)',
    '--mantine-color-error': 'var(--mantine-color-red-9)',
    ...Object.fromEntries(tinted.map((color) => [`--mantine-color-${color}-light-color`, `color-mix(in srgb, var(--mantine-color-${color}-9) 65%, black)`])),
  },
  dark: {
    '--mantine-color-anchor': 'var(--mantine-color-blue-3)',
    '--mantine-color-dimmed': 'var(--mantine-color-dark-1)',
    '--mantine-color-placeholder': 'var(--mantine-color-dark-1)',
    '--mantine-color-error': 'var(--mantine-color-red-4)',
  },
})

import { Box, Button, Card, Group, Text } from '@mantine/core'
import { useEffect, useRef, useState } from 'react'

/**
 * CreativeFrame shows a creative as pages show it: in the frame of the SDK, which the server sends with a policy that sandboxes it. Nothing in it
 * reaches this page. It is asked for by a button, since what is shown there may ask other servers for pictures.
 */
export function CreativeFrame({ html, image, title, width, height }: { html: string; image: string; title: string; width: number; height: number }) {
  const [shown, setShown] = useState('')
  const content = image ? imageHTML(image, title) : html
  return (
    <Card withBorder padding="sm" component="section" aria-label="Preview">
      <Group justify="space-between" mb={shown ? 'sm' : 0}>
        <Text size="sm" c="dimmed">
          {shown && shown !== content ? 'This is what it was when the preview was made.' : 'As it is shown in a page, in the sandboxed frame of the SDK.'}
        </Text>
        <Button size="xs" variant="default" disabled={!content.trim()} onClick={() => setShown(content)}>
          {shown ? 'Preview again' : 'Preview'}
        </Button>
      </Group>
      {shown && (
        <Box style={{ overflow: 'auto' }}>
          <Frame key={shown} html={shown} title={title} width={width} height={height} />
        </Box>
      )}
    </Card>
  )
}

function Frame({ html, title, width, height }: { html: string; title: string; width: number; height: number }) {
  const frame = useRef<HTMLIFrameElement>(null)
  useEffect(() => {
    // The frame says that it is ready, is given its HTML once, and becomes it: see sdk/ads/frame.html.
    let given = false
    const hear = ({ source, data }: MessageEvent) => {
      if (given || !source || source !== frame.current?.contentWindow || data !== 'carom:ready') return
      given = true
      frame.current.contentWindow.postMessage({ carom: html }, '*') // an origin of its own has no name
    }
    window.addEventListener('message', hear)
    return () => window.removeEventListener('message', hear)
  }, [html])
  return <iframe ref={frame} src="/sdk/frame" sandbox="allow-scripts" title={title || 'Preview of the creative'} width={Math.min(width, 720)} height={Math.min(height, 720)} tabIndex={-1} style={{ border: 0, background: '#fff' }} />
}

/** imageHTML writes an image as the frame shows it. What could end the attribute is escaped. */
function imageHTML(url: string, title: string): string {
  const text = (s: string) => s.replace(/[&"<>]/g, (c) => `&#${c.charCodeAt(0)};`)
  return `<img src="${text(url.trim())}" alt="${text(title)}" style="display:block;width:100%;height:100vh;object-fit:contain">`
}

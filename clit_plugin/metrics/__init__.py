"""What BasicSR's metrics lack: PSNR and SSIM on floats, and the evaluation protocols of the field."""
